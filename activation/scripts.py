"""Lua that runs inside Redis: the steps that must happen as one. Each script reads every key before its first write,
so that a key of a wrong type fails it before anything has changed; a first write that Redis refuses for lack of memory
changes nothing either.

Audience scripts take the audience's key prefix as KEYS[1] and spell its keys from it, as activation/keys.py does.
"""

_AUDIENCE_FENCE = """
local a = KEYS[1]
local newest = redis.call('ZREVRANGE', a .. ':versions', 0, 0)[1]
local known = {false, false, false}
if newest then
  known = redis.call('HMGET', a .. ':v' .. newest .. ':manifest', 'build', 'count', 'checksum')
  if tonumber(known[1] or 0) > tonumber(ARGV[2]) or tonumber(newest) > tonumber(ARGV[1]) then
    return {'stale', newest, known[1] or '0'}
  end
end
"""

# ARGV: version, build. Answers what this publication builds on, and clears what crashed publications left behind.
# A staging key of a higher build belongs to a publisher that will win; it is left alone.
PREPARE_AUDIENCE = (
    _AUDIENCE_FENCE
    + """
redis.call('GET', a .. ':pinned'); redis.call('GET', a .. ':current')
local size = newest and redis.call('SCARD', a .. ':v' .. newest) or 0
for _, key in ipairs(redis.call('ZRANGEBYSCORE', a .. ':staging', '-inf', ARGV[2])) do
  redis.call('UNLINK', key)
  redis.call('ZREM', a .. ':staging', key)
end
return {'ready', newest, known[2], known[3], size}
"""
)

# KEYS: set, its copy. ARGV: cursor, page size. Copies one page; answers the next cursor. Four times slower than COPY,
# which however would hold up every reader for a quarter of a second per million members.
COPY_PAGE = """
local page = redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
for start = 1, #page[2], 1000 do
  redis.call('SADD', KEYS[2], unpack(page[2], start, math.min(start + 999, #page[2])))
end
return page[1]
"""

# KEYS: prefix, names of audiences. ARGV: version, build, count, versions to keep, staging key ('' = the set stands
# already), version known to be damaged ('' = none), audience name, then the manifest's fields and values.
# The staged set never holds a wrong member (it only ever misses some, when another publisher removed it half-way), so
# its size alone proves it whole.
SWITCH_AUDIENCE = (
    _AUDIENCE_FENCE
    + """
local version, count, keep, staging, damaged = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local set = a .. ':v' .. version
local built = staging ~= '' and staging or set
if redis.call('SCARD', built) ~= count then return {'overtaken'} end
local pinned = redis.call('GET', a .. ':pinned')
redis.call('SCARD', set); redis.call('ZCARD', a .. ':staging'); redis.call('SCARD', KEYS[2])
local kept = redis.call('ZREVRANGE', a .. ':versions', 0, -1)

if staging ~= '' then
  if count > 0 then redis.call('RENAME', staging, set) else redis.call('UNLINK', set) end
  redis.call('ZREM', a .. ':staging', staging)
end
redis.call('UNLINK', set .. ':manifest')
redis.call('HSET', set .. ':manifest', unpack(ARGV, 8))
redis.call('ZADD', a .. ':versions', version, version)
redis.call('SET', a .. ':current', pinned or version)
redis.call('SADD', KEYS[2], ARGV[7])

local others = 0
for _, other in ipairs(kept) do
  if other ~= version then
    if other ~= damaged then others = others + 1 end
    if other ~= pinned and (other == damaged or others >= keep) then
      redis.call('UNLINK', a .. ':v' .. other, a .. ':v' .. other .. ':manifest')
      redis.call('ZREM', a .. ':versions', other)
    end
  end
end
return {'switched', pinned or ''}
"""
)

# ARGV: version to pin.
PIN_AUDIENCE = """
local a, version = KEYS[1], ARGV[1]
local count = redis.call('HGET', a .. ':v' .. version .. ':manifest', 'count')
local kept = redis.call('ZRANGE', a .. ':versions', 0, -1)
redis.call('GET', a .. ':pinned'); redis.call('GET', a .. ':current')
if not count then return {'unknown', unpack(kept)} end
if redis.call('SCARD', a .. ':v' .. version) ~= tonumber(count) then return {'damaged'} end
redis.call('SET', a .. ':pinned', version)
redis.call('SET', a .. ':current', version)
return {'pinned'}
"""

# The pointer returns to the newest version; answers it, or nothing where nothing is published.
RELEASE_AUDIENCE = """
local a = KEYS[1]
local newest = redis.call('ZREVRANGE', a .. ':versions', 0, 0)[1]
redis.call('GET', a .. ':pinned'); redis.call('GET', a .. ':current')
if not newest then return false end
redis.call('SET', a .. ':current', newest)
redis.call('DEL', a .. ':pinned')
return newest
"""

# KEYS: prefix, names of audiences. ARGV: audience name. Removes all keys of the audience; answers how many versions.
WITHDRAW_AUDIENCE = """
local a = KEYS[1]
local kept = redis.call('ZRANGE', a .. ':versions', 0, -1)
local unfinished = redis.call('ZRANGE', a .. ':staging', 0, -1)
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('UNLINK', a .. ':current', a .. ':pinned', a .. ':versions', a .. ':staging')
for _, version in ipairs(kept) do redis.call('UNLINK', a .. ':v' .. version, a .. ':v' .. version .. ':manifest') end
for _, key in ipairs(unfinished) do redis.call('UNLINK', key) end
return #kept
"""

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
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('HDEL', KEYS[1], 'next_version')
return 1
"""
