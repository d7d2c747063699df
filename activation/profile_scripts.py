"""Lua that begins, fences and completes a publication of profiles; each script reads before it writes."""

# KEYS: profiles manifest. ARGV: version, build, this writer's token, the writer whose complete publication this one
# builds on ('' = it builds on nothing). From here on every other writer's transactions are refused.
# What readers are told (version, count, checksum, as_of) stays that of the last complete publication until the end.
BEGIN_PROFILES = """
local known = redis.call('HMGET', KEYS[1], 'build', 'version', 'next_version', 'writer', 'state')
local newest = math.max(tonumber(known[2] or 0), tonumber(known[3] or 0))
if tonumber(known[1] or 0) > tonumber(ARGV[2]) or newest > tonumber(ARGV[1]) then
  return {'stale', string.format('%.0f', newest), known[1] or '0'}
end
if ARGV[4] ~= '' and (known[4] ~= ARGV[4] or known[5] ~= 'complete') then return {'overtaken'} end
redis.call('HSET', KEYS[1], 'state', 'writing', 'build', ARGV[2], 'writer', ARGV[3], 'next_version', ARGV[1])
return {'ready'}
"""

FENCED = "FENCED"
# ARGV: this writer's token. An error unless this writer still holds the manifest.
FENCE_PROFILES = """
if redis.call('HGET', KEYS[1], 'writer') ~= ARGV[1] then
  return redis.error_reply('FENCED another publication of profiles has begun')
end
return 1
"""

# ARGV: this writer's token, then the manifest's fields and values.
COMPLETE_PROFILES = """
if redis.call('HGET', KEYS[1], 'writer') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'next_version', 'confirmed_as_of', 'confirmed_at', 'confirmation', 'features')
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
"""
