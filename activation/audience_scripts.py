"""Lua that publishes one audience inside Redis: the steps that must happen as one. Each script reads every key before its
first write, so that a key of a wrong type fails it before anything has changed; a first write that Redis refuses for
lack of memory changes nothing either.

Scripts take the audience's key prefix as KEYS[1] and spell its keys from it, as activation/keys.py does.
"""

from activation.confirmation_scripts import LET_EXPIRE

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

CALL_IN_PARTS = """
local function call_in_parts(command, key, members)
  for start = 1, #members, 1000 do
    redis.call(command, key, unpack(members, start, math.min(start + 999, #members)))
  end
end
"""

# Changes the set of `base` into that of `version` and keeps the way back: `minus` and `plus` of each older version say
# what it lacks and has in comparison with that set. Work is in proportion to the change.
_CHANGE_IN_PLACE = (
    CALL_IN_PARTS
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
# its checksum, members added, members removed, seconds until all keys of the audience go ('' = never), then the manifest's
# fields and values.
# A staged set never holds a wrong member (it only ever misses some, when another publisher removed it half-way), so
# its size alone proves it whole.
SWITCH_AUDIENCE = (
    _FENCE
    + LET_EXPIRE
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
redis.call('HSET', set .. ':manifest', unpack(ARGV, 13))
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
let_expire(a, redis.call('ZRANGE', a .. ':versions', 0, -1), ARGV[12])
return {'switched', pinned or ''}
"""
)
