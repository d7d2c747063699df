"""Lua of an operator's moves on one audience, and of copying a set. Each script reads every key before its first write.

Scripts take the audience's key prefix as KEYS[1], where nothing else is said.
"""

from activation.audience_scripts import CALL_IN_PARTS

# KEYS: set, its copy. ARGV: cursor, page size. Copies one page; answers the next cursor. Four times slower than COPY,
# which however would hold up every reader for a quarter of a second per million members.
COPY_PAGE = """
local page = redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
for start = 1, #page[2], 1000 do
  redis.call('SADD', KEYS[2], unpack(page[2], start, math.min(start + 999, #page[2])))
end
return page[1]
"""

# ARGV: version to pin, where its set was rebuilt ('' = not yet). Answers 'rebuild' and the version whose set it is to
# be rebuilt from where it is kept as a difference and not rebuilt, or a publication cleared that away.
PIN_AUDIENCE = """
local a, version, rebuilt = KEYS[1], ARGV[1], ARGV[2]
local set = a .. ':v' .. version
local manifest = redis.call('HMGET', set .. ':manifest', 'count', 'base', 'build')
local count, base = manifest[1], manifest[2]
local kept = redis.call('ZRANGE', a .. ':versions', 0, -1)
redis.call('GET', a .. ':pinned'); redis.call('GET', a .. ':current')
local life = redis.call('PTTL', a .. ':current')
if not count then return {'unknown', unpack(kept)} end
if base and not redis.call('ZSCORE', a .. ':staging', rebuilt) then return {'rebuild', base} end
if redis.call('SCARD', base and rebuilt or set) ~= tonumber(count) then return {'damaged'} end
if base then
  if redis.call('EXISTS', rebuilt) == 1 then redis.call('RENAME', rebuilt, set) end
  redis.call('HDEL', set .. ':manifest', 'base', 'minus', 'plus')
  redis.call('UNLINK', set .. ':minus', set .. ':plus')
end
redis.call('ZREM', a .. ':staging', rebuilt)
redis.call('SET', a .. ':pinned', version)
redis.call('SET', a .. ':current', version, 'KEEPTTL')
if life > 0 then
  redis.call('PEXPIRE', a .. ':pinned', life)
  redis.call('PEXPIRE', set, life)
end
return {'pinned'}
"""

# ARGV: version, the version it is kept as a difference to, a copy of that one's set. Turns the copy into the version;
# answers its checksum, or nothing where the copy may not be whole: another publication came in between.
UNDO_IN_COPY = (
    CALL_IN_PARTS
    + """
local set, copy = KEYS[1] .. ':v' .. ARGV[1], ARGV[3]
local manifest = redis.call('HMGET', set .. ':manifest', 'base', 'checksum')
local size = tonumber(redis.call('HGET', KEYS[1] .. ':v' .. ARGV[2] .. ':manifest', 'count') or -1)
if manifest[1] ~= ARGV[2] or redis.call('SCARD', copy) ~= size then return false end
call_in_parts('SREM', copy, redis.call('SMEMBERS', set .. ':minus'))
call_in_parts('SADD', copy, redis.call('SMEMBERS', set .. ':plus'))
return manifest[2]
"""
)

# The pointer returns to the newest version; answers it, or nothing where nothing is published.
RELEASE_AUDIENCE = """
local a = KEYS[1]
local newest = redis.call('ZREVRANGE', a .. ':versions', 0, 0)[1]
redis.call('GET', a .. ':pinned'); redis.call('GET', a .. ':current')
if not newest then return false end
redis.call('SET', a .. ':current', newest, 'KEEPTTL')
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
for _, version in ipairs(kept) do
  local key = a .. ':v' .. version
  redis.call('UNLINK', key, key .. ':manifest', key .. ':minus', key .. ':plus')
end
for _, key in ipairs(unfinished) do redis.call('UNLINK', key, key .. ':added', key .. ':removed') end
return #kept
"""
