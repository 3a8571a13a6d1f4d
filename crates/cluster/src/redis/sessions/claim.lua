-- Takes a session over under a higher fence.
-- KEYS  1 record, 2 revocation of the session, 3 what it was before
-- ARGV  1 digest of the secret, 2 owner, 3 node, 4 ttl in ms, 5 mark of this claim, 6 ms for which it may be given back
-- Gives nothing where the session is unknown or revoked or the secret wrong, and else whom it was taken from (empty: nobody)
-- and the record.
local held = redis.call('HMGET', KEYS[1], 's', 'n', 'a', 'f', 'o')
-- Lua compares strings by identity, digests besides: the time it takes says nothing of the secret.
if held[1] ~= ARGV[1] then return nil end
if redis.call('EXISTS', KEYS[2]) == 1 then return nil end

-- Not below the time: a server that was set back does not know of claims that it had, and none of theirs may be higher.
-- In microseconds, in which no server makes two claims; below 2^53, up to which Lua's numbers are exact, until the year 2255.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fence = string.format('%.0f', math.max(held[4] + 1, now))
redis.call('SET', KEYS[3], cmsgpack.pack({ ARGV[5], fence, held[4], held[5], held[2], held[3] }), 'PX', ARGV[6])
redis.call('HSET', KEYS[1], 'f', fence, 'o', ARGV[2], 'n', ARGV[3], 'a', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return { held[3] == '1' and held[2] or '', redis.call('HGETALL', KEYS[1]) }
