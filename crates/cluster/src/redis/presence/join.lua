-- Makes a session a member, or moves one to its new holder.
-- KEYS  1 seats: session -> tenure (8 bytes), fence (8 bytes), who (8 bytes since, 2 bytes length, user), info
--       2 tenure and session of each seat, in order
-- ARGV  1 session, 2 tenure, 3 fence, 4 who, 5 info, 6 most members
-- Gives 1 new, 0 kept, -1 fenced, -2 full.
local seat = redis.call('HGET', KEYS[1], ARGV[1])
local who, state = ARGV[4], 1
if seat then
  local tenure, fence = seat:sub(1, 8), (struct.unpack('>I8', seat, 9))
  if fence > tonumber(ARGV[3]) then return -1 end
  who, state = seat:sub(17, 26 + struct.unpack('>I2', seat, 25)), 0
  if tenure ~= ARGV[2] then redis.call('ZREM', KEYS[2], tenure .. ARGV[1]) end
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then
  return -2
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. struct.pack('>I8', tonumber(ARGV[3])) .. who .. ARGV[5])
redis.call('ZADD', KEYS[2], 0, ARGV[2] .. ARGV[1])
return state
