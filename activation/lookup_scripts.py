"""Lua of the reader: each answers one question from one moment, in one round trip."""

# KEYS: the key the search starts from. ARGV: 'profile' or 'identifier', then the customer id where known, then the
# prefix of profiles, of redirects, and the profiles manifest. A merged id leads on, at most 16 times.
# Answers the customer id found (or false), the hash as a flat list, and the manifest's version, as_of and state.
FIND_PROFILE = """
local manifest = redis.call('HMGET', ARGV[5], 'version', 'as_of', 'state')
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

_CURRENT_VERSION = """
local a = KEYS[1]
local version = redis.call('GET', a .. ':current')
if not version then return {'unpublished'} end
local set = a .. ':v' .. version
local count = redis.call('HGET', set .. ':manifest', 'count')
if not count or (tonumber(count) > 0 and redis.call('EXISTS', set) == 0) then return {'unpublished'} end
"""

# ARGV: customer id.
IS_MEMBER = _CURRENT_VERSION + "return {'published', redis.call('SISMEMBER', set, ARGV[1])}"

# Answers the current version's manifest as a flat list, the version pinned (or '') and the versions kept.
DESCRIBE_AUDIENCE = (
    _CURRENT_VERSION
    + """
return {'published', redis.call('HGETALL', set .. ':manifest'), redis.call('GET', a .. ':pinned') or '',
  redis.call('ZRANGE', a .. ':versions', 0, -1)}
"""
)

# ARGV: version and checksum of the page before ('' = first page: the current version), cursor, page size.
PAGE_OF_MEMBERS = """
local a, version = KEYS[1], ARGV[1]
if version == '' then
  version = redis.call('GET', a .. ':current')
  if not version then return {'unpublished'} end
end
local set = a .. ':v' .. version
local manifest = redis.call('HMGET', set .. ':manifest', 'checksum', 'count')
local checksum, count = manifest[1], tonumber(manifest[2] or 0)
if not checksum or (count > 0 and redis.call('EXISTS', set) == 0) then
  return {ARGV[1] == '' and 'unpublished' or 'changed'}
end
if ARGV[2] ~= '' and ARGV[2] ~= checksum then return {'changed'} end
local page = redis.call('SSCAN', set, ARGV[3], 'COUNT', ARGV[4])
return {'published', version, checksum, page[1], page[2]}
"""

AUDIENCE_NAMES = "return redis.call('SMEMBERS', KEYS[1])"
