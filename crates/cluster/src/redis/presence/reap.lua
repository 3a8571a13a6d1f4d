-- Removes members of a tenure that has ended. Gives how many more there are, and session, seat, session, seat ..
-- KEYS  1 seats, 2 tenure and session of each
-- ARGV  1 tenure, 2 how many
local from, past = '[' .. ARGV[1], '(' .. ARGV[1] .. string.rep('\255', 17)
local members = {}
for _, held in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], from, past, 'LIMIT', 0, ARGV[2])) do
  local session = held:sub(9)
  local seat = redis.call('HGET', KEYS[1], session)
  if seat then
    table.insert(members, session)
    table.insert(members, seat)
  end
  redis.call('HDEL', KEYS[1], session)
  redis.call('ZREM', KEYS[2], held)
end
return { redis.call('ZLEXCOUNT', KEYS[2], from, past), members }
