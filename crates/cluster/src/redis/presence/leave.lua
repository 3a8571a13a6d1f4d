-- Ends a membership. Gives the seat; nothing where there is none, or someone holds it under a newer fence.
-- KEYS  1 seats, 2 tenure and session of each
-- ARGV  1 session, 2 fence
local seat = redis.call('HGET', KEYS[1], ARGV[1])
if not seat or struct.unpack('>I8', seat, 9) > tonumber(ARGV[2]) then return nil end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], seat:sub(1, 8) .. ARGV[1])
return seat
