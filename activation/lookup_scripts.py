"""Lua of the reader: each answers one question from one moment, in one round trip."""

# KEYS: the key the search starts from. ARGV: 'profile' or 'identifier', then the customer id where known, then the
# prefix of profiles, of redirects, and the profiles manifest. A merged id leads on, at most 16 times.
# Answers the customer id found (or false), the hash as a flat list, and the manifest's version, as_of and state.
FIND_PROFILE = """
local manifest = redis.call('HMGET', ARGV[5], 'version', 'as_of', 'confirmed_as_of')
local id = ARGV[2]
if ARGV[1] == 'identifier' then id = redis.call('GET', KEYS[1]) end
local fields, hops = {}, 0
while id and hops <= 16 do
  fields = redis.call('HGETALL', ARGV[3] .. id)
  if #fields > 0 then break end
  id = redis.call('GET', ARGV[4] .. id)
  hops = hops + 1
end
if #fields == 0 then id = false end
return {id, fields, manifest[1], manifest[2], manifest[3]}
"""

# KEYS: per customer the key of its identifier. ARGV: the prefixes of profiles and of redirects, the profiles manifest, the field of
# features; then per customer where the search starts: '=' and its id, '?' its identifier's key, '!' nowhere.
# Answers per customer {id, features, _as_of} or {}, then the manifest's names of features, as_of and confirmed_as_of.
FIND_FEATURES = """
local found = {}
for at, key in ipairs(KEYS) do
  local start = ARGV[4 + at]
  local id, hops, values = string.sub(start, 2), 0, {}
  if start == '?' then id = redis.call('GET', key) elseif start == '!' then id = false end
  while id and hops <= 16 do
    values = redis.call('HMGET', ARGV[1] .. id, ARGV[4], '_as_of')
    if values[2] then break end
    id = redis.call('GET', ARGV[2] .. id)
    hops = hops + 1
  end
  found[at] = id and values[1] and {id, values[1], values[2]} or {}
end
return {found, redis.call('HMGET', ARGV[3], 'features', 'as_of', 'confirmed_as_of')}
"""

_CURRENT_VERSION = """
local a = KEYS[1]
local version = redis.call('GET', a .. ':current')
if not version then return {'unpublished'} end
local set = a .. ':v' .. version
local count = redis.call('HGET', set .. ':manifest', 'count')
if not count or (tonumber(count) > 0 and redis.call('EXISTS', set) == 0) then return {'unpublished'} end
"""

# ARGV: customer id. Answers 1 or 0, the version it was looked up in, and up to when that is confirmed.
IS_MEMBER = (
    _CURRENT_VERSION
    + """
local confirmed = redis.call('HMGET', set .. ':manifest', 'as_of', 'confirmed_as_of')
return {'published', redis.call('SISMEMBER', set, ARGV[1]), version, confirmed[1], confirmed[2]}
"""
)

# Answers the current version's manifest as a flat list, the version pinned (or '') and the versions kept.
DESCRIBE_AUDIENCE = (
    _CURRENT_VERSION
    + """
return {'published', redis.call('HGETALL', set .. ':manifest'), redis.call('GET', a .. ':pinned') or '',
  redis.call('ZRANGE', a .. ':versions', 0, -1)}
"""
)

# ARGV: version and checksum of the page before ('' = first page: the current version), position, page size.
# A version kept as a difference is its base without `minus` (positions -n), then `plus` (positions +n). SSCAN's promise
# holds while a version turns into a difference: buckets are the same in a renamed or rewritten set.
PAGE_OF_MEMBERS = """
local a, version, position = KEYS[1], ARGV[1], ARGV[3]
if version == '' then
  version = redis.call('GET', a .. ':current')
  if not version then return {'unpublished'} end
end
local set = a .. ':v' .. version
local manifest = redis.call('HMGET', set .. ':manifest', 'checksum', 'count', 'base', 'minus', 'plus', 'as_of', 'confirmed_as_of')
local checksum, base, from, count = manifest[1], manifest[3], set, tonumber(manifest[2] or 0)
local is_whole = checksum and true
if base then
  from = a .. ':v' .. base
  count = tonumber(redis.call('HGET', from .. ':manifest', 'count') or -1)
  is_whole = redis.call('SCARD', set .. ':minus') == tonumber(manifest[4])
    and redis.call('SCARD', set .. ':plus') == tonumber(manifest[5]) and redis.call('SCARD', from) == count
end
if not is_whole or (count > 0 and redis.call('EXISTS', from) == 0) then
  return {ARGV[1] == '' and 'unpublished' or 'changed'}
end
if ARGV[2] ~= '' and ARGV[2] ~= checksum then return {'changed'} end

local phase, cursor = string.match(position, '^([+-]?)(%d+)$')
if not base then
  -- A rollback made it whole again meanwhile: what was passed may hold members that were not in the base.
  if phase ~= '' then cursor = '0' end
  local page = redis.call('SSCAN', set, cursor, 'COUNT', ARGV[4])
  return {'published', version, checksum, page[1], page[2], manifest[6], manifest[7]}
end
if phase == '+' then
  local page = redis.call('SSCAN', set .. ':plus', cursor, 'COUNT', ARGV[4])
  return {'published', version, checksum, page[1] == '0' and '0' or '+' .. page[1], page[2], manifest[6], manifest[7]}
end
local page, members = redis.call('SSCAN', from, cursor, 'COUNT', ARGV[4]), {}
for start = 1, #page[2], 1000 do
  local stop = math.min(start + 999, #page[2])
  local is_missing = redis.call('SMISMEMBER', set .. ':minus', unpack(page[2], start, stop))
  for at = start, stop do
    if is_missing[at - start + 1] == 0 then members[#members + 1] = page[2][at] end
  end
end
return {'published', version, checksum, page[1] == '0' and '+0' or '-' .. page[1], members, manifest[6], manifest[7]}
"""

# KEYS: the set of names. ARGV: what every audience's keys start with. Answers the names, then those whose keys have expired or are lost.
AUDIENCE_NAMES = """
local names, lost = {}, {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local found = redis.call('EXISTS', ARGV[1] .. name .. ':current') == 1 and names or lost
  found[#found + 1] = name
end
return {names, lost}
"""
