-- Adds a node's count to those of the others.
-- KEYS  1 counts: node -> end in Unix ms, space, count
-- ARGV  1 node, 2 count, 3 ttl in ms, 4 most nodes
-- Gives the sum, and how many nodes; nothing where there are too many.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local sum, nodes, is_known = 0, 0, false
local counts = redis.call('HGETALL', KEYS[1])
for at = 1, #counts, 2 do
  local ends_at, count = counts[at + 1]:match('^(%d+) (%d+)$')
  if counts[at] == ARGV[1] then
    is_known = true
  elseif not ends_at or tonumber(ends_at) <= now then
    redis.call('HDEL', KEYS[1], counts[at])
  else
    sum, nodes = sum + count, nodes + 1
  end
end
if not is_known and nodes >= tonumber(ARGV[4]) then return nil end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + ARGV[3]) .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { sum + ARGV[2], nodes + 1 }
