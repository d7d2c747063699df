"""Lua that says of a published version that a newer build left it as it is, and how long an audience's keys live."""

# What every key of an audience has in common: it goes at one instant, so that no reader sees a part. `seconds` '' = never.
LET_EXPIRE = """
local function let_expire(prefix, versions, seconds)
  local now = redis.call('TIME')
  local at = seconds ~= '' and string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + seconds * 1000)
  local keys = {prefix .. ':current', prefix .. ':pinned', prefix .. ':versions'}
  for _, version in ipairs(versions) do
    local set = prefix .. ':v' .. version
    for _, rest in ipairs({'', ':manifest', ':minus', ':plus'}) do keys[#keys + 1] = set .. rest end
  end
  for _, key in ipairs(keys) do
    if at then redis.call('PEXPIREAT', key, at) else redis.call('PERSIST', key) end
  end
end
"""

# KEYS: prefix. ARGV: version, the build that registered it, number of the confirmation, seconds until all keys of the
# audience go ('' = never), then the manifest's fields and values. Reads before it writes.
CONFIRM_AUDIENCE = (
    LET_EXPIRE
    + """
local a = KEYS[1]
local versions = redis.call('ZREVRANGE', a .. ':versions', 0, -1)
local newest = versions[1]
if not newest or redis.call('EXISTS', a .. ':current') == 0 then return 'missing' end
local set = a .. ':v' .. newest
local known = redis.call('HMGET', set .. ':manifest', 'build', 'confirmation', 'count')
if tonumber(newest) > tonumber(ARGV[1]) or tonumber(known[1] or 0) > tonumber(ARGV[2])
  or tonumber(known[2] or 0) > tonumber(ARGV[3]) then
  return 'stale'
end
if newest ~= ARGV[1] or known[1] ~= ARGV[2] or redis.call('SCARD', set) ~= tonumber(known[3]) then return 'missing' end
redis.call('HSET', set .. ':manifest', unpack(ARGV, 5))
if ARGV[4] == '' then redis.call('HDEL', set .. ':manifest', 'expires_after') end
let_expire(a, versions, ARGV[4])
return 'confirmed'
"""
)

# KEYS: profiles manifest. ARGV: as above, without a life time.
CONFIRM_PROFILES = """
local known = redis.call('HMGET', KEYS[1], 'build', 'confirmation', 'version', 'next_version', 'state')
local newest = math.max(tonumber(known[3] or 0), tonumber(known[4] or 0))
if newest > tonumber(ARGV[1]) or tonumber(known[1] or 0) > tonumber(ARGV[2])
  or tonumber(known[2] or 0) > tonumber(ARGV[3]) then
  return 'stale'
end
if known[3] ~= ARGV[1] or known[1] ~= ARGV[2] or known[5] ~= 'complete' then return 'missing' end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
return 'confirmed'
"""
