-- Makes a record, owned under a fence.
-- KEYS  1 record, 2 revocation of the session
-- ARGV  1 digest of the secret, 2 owner, 3 node, 4 user, 5 ttl in ms, 6 ms until its user's index is due,
--       7 fence, 8.. pieces of the identity
-- Gives 1 made, 0 its name is taken, -1 revoked.
if redis.call('EXISTS', KEYS[2]) == 1 then return -1 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 's', ARGV[1], 'o', ARGV[2], 'n', ARGV[3], 'u', ARGV[4], 'f', ARGV[7], 'a', 1,
  'm', string.format('%.0f', now), 'x', string.format('%.0f', now + ARGV[6]), 'p', #ARGV - 7)
for piece = 8, #ARGV do
  redis.call('HSET', KEYS[1], 'i' .. piece - 7, ARGV[piece])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
