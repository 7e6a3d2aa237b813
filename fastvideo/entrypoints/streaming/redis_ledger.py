"""What Redis knows of the entries of one store: how large each is and when it expires. Lua, so each step is atomic.

Under a store's prefix lie ``:sizes`` (hash: id to bytes), ``:expiry`` (sorted set: id by milliseconds), ``:bytes``
(their sum) and ``:data:<id>``. Everything has a time to live: the data its own, the rest the longest of them. The
scripts make up names of keys, so the store lives on one Redis (with replicas, if need be), not on a Redis Cluster.
"""

from __future__ import annotations

# KEYS[1]: the prefix. Times are Redis's own, so that servers' clocks need not agree.
_PRELUDE = """
local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function whole(number) return string.format('%.0f', number) end

local function forget(id)
  local size = redis.call('HGET', prefix .. ':sizes', id)
  if size then
    redis.call('HDEL', prefix .. ':sizes', id)
    redis.call('DECRBY', prefix .. ':bytes', size)
    redis.call('ZREM', prefix .. ':expiry', id)
    redis.call('SREM', prefix .. ':owner:' .. string.sub(id, 1, 32), id)
    if redis.call('EXISTS', prefix .. ':sizes') == 0 then redis.call('DEL', prefix .. ':bytes') end
  end
  redis.call('UNLINK', prefix .. ':data:' .. id)
end

local function sweep()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. ':expiry', '-inf', now)) do forget(id) end
end

local function total() return tonumber(redis.call('GET', prefix .. ':bytes') or '0') end

local function enter(id, size, ttl)
  redis.call('HSET', prefix .. ':sizes', id, size)
  redis.call('INCRBY', prefix .. ':bytes', size)
  redis.call('ZADD', prefix .. ':expiry', whole(now + ttl), id)
  for _, name in ipairs({':sizes', ':bytes', ':expiry'}) do
    redis.call('PEXPIRE', prefix .. name, whole(2 * ttl))
  end
end
"""

# ARGV: id, bytes, ttl in ms, most entries, most bytes, whether it has an owner, most entries and bytes of an owner.
# Keeps room for a blob. Returns {0} when done, {1, entries, bytes} when the store is full, {2, ...} when the owner is.
RESERVE_BLOB = (
    _PRELUDE
    + """
local id, size, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
sweep()
if redis.call('HEXISTS', prefix .. ':sizes', id) == 1 then return {0} end
local entries = redis.call('HLEN', prefix .. ':sizes')
if entries >= tonumber(ARGV[4]) or total() + size > tonumber(ARGV[5]) then return {1, entries, total()} end
if ARGV[6] == '1' then
  local owner = prefix .. ':owner:' .. string.sub(id, 1, 32)
  local ids, bytes = redis.call('SMEMBERS', owner), 0
  for _, other in ipairs(ids) do
    bytes = bytes + tonumber(redis.call('HGET', prefix .. ':sizes', other) or '0')
  end
  if #ids >= tonumber(ARGV[7]) or bytes + size > tonumber(ARGV[8]) then return {2, #ids, bytes} end
  redis.call('SADD', owner, id)
  redis.call('PEXPIRE', owner, whole(2 * ttl))
end
enter(id, size, ttl)
return {0}
"""
)

# ARGV: id.
FORGET = _PRELUDE + "forget(ARGV[1])"

# ARGV: an owner's tag.
FORGET_OWNER = (
    _PRELUDE + "for _, id in ipairs(redis.call('SMEMBERS', prefix .. ':owner:' .. ARGV[1])) do forget(id) end"
)

# Returns {the sum of bytes, {the id of each live entry ...}}.
LIST = _PRELUDE + "sweep() return {total(), redis.call('ZRANGE', prefix .. ':expiry', 0, -1)}"

# The last lease of a session lies at :lease:<id>, a hash of holder, token, until (ms).
_LEASES = (
    _PRELUDE
    + """
local function lease_of(id)
  local found = redis.call('HMGET', prefix .. ':lease:' .. id, 'holder', 'token', 'until')
  if not found[2] then return nil end
  return {holder = found[1], token = tonumber(found[2]), till = tonumber(found[3])}
end

local function keep_lease(id, holder, token, till, ttl)
  local key = prefix .. ':lease:' .. id
  redis.call('HSET', key, 'holder', holder, 'token', whole(token), 'until', whole(till))
  redis.call('PEXPIRE', key, whole(ttl))
end

-- 0: may write. 1: somebody else holds it. 2: this lease was taken over. No lease is the empty string.
local function may_write(id, token)
  local lease = lease_of(id)
  if not lease then return 0 end
  if token == '' then return lease.till > now and 1 or 0 end
  return lease.token > tonumber(token) and 2 or 0
end
"""
)

# ARGV: id, token or '', data, ttl in ms, most entries, most bytes. Returns {0}, {1} or {2} as may_write, or
# {3, entries, bytes} when the store is full.
STORE_STATE = (
    _LEASES
    + """
local id, data, ttl = ARGV[1], ARGV[3], tonumber(ARGV[4])
local refusal = may_write(id, ARGV[2])
if refusal ~= 0 then return {refusal} end
sweep()
local old = redis.call('HGET', prefix .. ':sizes', id)
local entries = redis.call('HLEN', prefix .. ':sizes') + (old and 0 or 1)
local bytes = total() + #data - tonumber(old or '0')
if entries > tonumber(ARGV[5]) or bytes > tonumber(ARGV[6]) then return {3, entries, bytes} end
forget(id)
redis.call('SET', prefix .. ':data:' .. id, data, 'PX', ttl)
enter(id, #data, ttl)
return {0}
"""
)

# ARGV: id, token or ''. Returns as may_write.
DROP_STATE = (
    _LEASES
    + """
local refusal = may_write(ARGV[1], ARGV[2])
if refusal == 0 then forget(ARGV[1]) end
return refusal
"""
)

# ARGV: id, holder, ttl in ms, ms to keep the record for, whether to take it over. Returns {0, token} or {1, ms left}.
ACQUIRE = (
    _LEASES
    + """
local id, holder, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local last = lease_of(id)
if last and last.holder ~= holder and last.till > now and ARGV[5] ~= '1' then return {1, last.till - now} end
local token = math.max(last and last.token + 1 or 1, now)
keep_lease(id, holder, token, now + ttl, tonumber(ARGV[4]))
return {0, token}
"""
)

# ARGV: id, holder, token, ttl in ms, ms to keep the record for. Returns as may_write.
RENEW = (
    _LEASES
    + """
local refusal = may_write(ARGV[1], ARGV[3])
if refusal == 0 then keep_lease(ARGV[1], ARGV[2], tonumber(ARGV[3]), now + tonumber(ARGV[4]), tonumber(ARGV[5])) end
return refusal
"""
)

# ARGV: id, holder, token, ttl in ms. The record stays for one lease's time: whom it was taken from is still refused.
RELEASE = (
    _LEASES
    + """
local last = lease_of(ARGV[1])
if last and last.token == tonumber(ARGV[3]) then
  keep_lease(ARGV[1], ARGV[2], last.token, now, tonumber(ARGV[4]))
end
return 0
"""
)
