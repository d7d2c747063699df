"""Lua that runs inside Redis on one audience: the steps that must happen as one. Each script reads every key before its
first write, so that a key of a wrong type fails it before anything has changed; a first write that Redis refuses for
lack of memory changes nothing either.

Scripts take the audience's key prefix as KEYS[1] and spell its keys from it, as activation/keys.py does.
"""

_FENCE = """
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
    _FENCE
    + """
local pinned = redis.call('GET', a .. ':pinned'); redis.call('GET', a .. ':current')
local size = newest and redis.call('SCARD', a .. ':v' .. newest) or 0
for _, key in ipairs(redis.call('ZRANGEBYSCORE', a .. ':staging', '-inf', ARGV[2])) do
  redis.call('UNLINK', key, key .. ':added', key .. ':removed')
  redis.call('ZREM', a .. ':staging', key)
end
return {'ready', newest, known[2], known[3], size, pinned or ''}
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

_IN_PARTS = """
local function call_in_parts(command, key, members)
  for start = 1, #members, 1000 do
    redis.call(command, key, unpack(members, start, math.min(start + 999, #members)))
  end
end
"""

# Changes the set of `base` into that of `version` and keeps the way back: `minus` and `plus` of each older version say
# what it lacks and has in comparison with that set. Work is in proportion to the change.
_CHANGE_IN_PLACE = (
    _IN_PARTS
    + """
local function is_each_member(members, key, wanted)
  for start = 1, #members, 1000 do
    local found = redis.call('SMISMEMBER', key, unpack(members, start, math.min(start + 999, #members)))
    for _, one in ipairs(found) do if one ~= wanted then return false end end
  end
  return true
end

local function keep_way_back(older, removed, added)
  local minus, plus, rest = older .. ':minus', older .. ':plus', removed .. ':rest'
  redis.call('SDIFFSTORE', rest, removed, minus)
  redis.call('SUNIONSTORE', plus, plus, rest)
  redis.call('SUNIONSTORE', minus, minus, added)
  redis.call('UNLINK', rest)
end

local function describe_way_back(older)
  redis.call('HSET', older .. ':manifest', 'base', version, 'minus', redis.call('SCARD', older .. ':minus'),
    'plus', redis.call('SCARD', older .. ':plus'))
end

local function change_in_place(base, added, removed, added_members, removed_members)
  local from = a .. ':v' .. base
  for _, other in ipairs(kept) do
    if bases[other] == base and other ~= version then
      keep_way_back(a .. ':v' .. other, removed, added)
      describe_way_back(a .. ':v' .. other)
    end
  end
  call_in_parts('SADD', from, added_members)
  call_in_parts('SREM', from, removed_members)
  if version == base then
    redis.call('UNLINK', added, removed)
    return
  end
  if count > 0 then redis.call('RENAME', from, set) else redis.call('UNLINK', set) end
  redis.call('UNLINK', from .. ':minus', from .. ':plus')
  if #added_members > 0 then redis.call('RENAME', added, from .. ':minus') end
  if #removed_members > 0 then redis.call('RENAME', removed, from .. ':plus') end
  describe_way_back(from)
end
"""
)

# KEYS: prefix, names of audiences. ARGV: version, build, count, versions to keep, staging key ('' = the set stands
# already), version known to be damaged ('' = none), audience name, version whose set is changed in place ('' = none),
# its checksum, members added, members removed, then the manifest's fields and values.
# A staged set never holds a wrong member (it only ever misses some, when another publisher removed it half-way), so
# its size alone proves it whole.
SWITCH_AUDIENCE = (
    _FENCE
    + """
local version, count, keep, staging, damaged, base = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[8]
local set = a .. ':v' .. version
local pinned = redis.call('GET', a .. ':pinned')
redis.call('SCARD', set); redis.call('ZCARD', a .. ':staging'); redis.call('SCARD', KEYS[2])
local kept, bases = redis.call('ZREVRANGE', a .. ':versions', 0, -1), {}
for _, other in ipairs(kept) do
  local key = a .. ':v' .. other
  redis.call('SCARD', key .. ':minus'); redis.call('SCARD', key .. ':plus')
  bases[other] = redis.call('HGET', key .. ':manifest', 'base')
end
"""
    + _CHANGE_IN_PLACE
    + """
if base ~= '' then
  local from, added, removed = a .. ':v' .. base, staging .. ':added', staging .. ':removed'
  if newest ~= base or known[3] ~= ARGV[9] or redis.call('SCARD', from) ~= tonumber(known[2])
    or (pinned == base and version ~= base)
    or redis.call('SCARD', added) ~= tonumber(ARGV[10]) or redis.call('SCARD', removed) ~= tonumber(ARGV[11]) then
    return {'overtaken'}
  end
  local added_members, removed_members = redis.call('SMEMBERS', added), redis.call('SMEMBERS', removed)
  if not is_each_member(added_members, from, 0) or not is_each_member(removed_members, from, 1) then
    return {'overtaken'}
  end
  change_in_place(base, added, removed, added_members, removed_members)
else
  if redis.call('SCARD', staging ~= '' and staging or set) ~= count or (damaged ~= '' and newest ~= damaged) then
    return {'overtaken'}
  end
  for _, other in ipairs(kept) do
    if staging ~= '' and bases[other] == version and damaged ~= version then return {'overtaken'} end
  end
  if staging ~= '' then
    if count > 0 then redis.call('RENAME', staging, set) else redis.call('UNLINK', set) end
  end
end

redis.call('ZREM', a .. ':staging', staging)
redis.call('UNLINK', set .. ':manifest', set .. ':minus', set .. ':plus')
redis.call('HSET', set .. ':manifest', unpack(ARGV, 12))
redis.call('ZADD', a .. ':versions', version, version)
redis.call('SET', a .. ':current', pinned or version)
redis.call('SADD', KEYS[2], ARGV[7])

local others = 0
for _, other in ipairs(kept) do
  if other ~= version then
    local is_damaged = damaged ~= '' and (other == damaged or bases[other] == damaged)
    if not is_damaged then others = others + 1 end
    if other ~= pinned and (is_damaged or others >= keep) then
      local key = a .. ':v' .. other
      redis.call('UNLINK', key, key .. ':manifest', key .. ':minus', key .. ':plus')
      redis.call('ZREM', a .. ':versions', other)
    end
  end
end
return {'switched', pinned or ''}
"""
)

# ARGV: version to pin, where its set was rebuilt ('' = not yet). Answers 'rebuild' and the version whose set it is to
# be rebuilt from where it is kept as a difference and not rebuilt, or a publication cleared that away.
PIN_AUDIENCE = """
local a, version, rebuilt = KEYS[1], ARGV[1], ARGV[2]
local set = a .. ':v' .. version
local manifest = redis.call('HMGET', set .. ':manifest', 'count', 'base', 'build')
local count, base = manifest[1], manifest[2]
local kept = redis.call('ZRANGE', a .. ':versions', 0, -1)
redis.call('GET', a .. ':pinned'); redis.call('GET', a .. ':current')
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
redis.call('SET', a .. ':current', version)
return {'pinned'}
"""

# ARGV: version, the version it is kept as a difference to, a copy of that one's set. Turns the copy into the version;
# answers its checksum, or nothing where the copy may not be whole: another publication came in between.
UNDO_IN_COPY = (
    _IN_PARTS
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
for _, version in ipairs(kept) do
  local key = a .. ':v' .. version
  redis.call('UNLINK', key, key .. ':manifest', key .. ':minus', key .. ':plus')
end
for _, key in ipairs(unfinished) do redis.call('UNLINK', key, key .. ':added', key .. ':removed') end
return #kept
"""
