-- Puts a session into the index of its user, which lies beside their revocation.
-- KEYS  1 index: sessions by the time their entry ends, 2 revocation of the user
-- ARGV  1 session, 2 ms that an entry stays, 3 most entries
-- Gives 0 where the user is revoked.
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
