-- Writes what changed, all of it or nothing, and renews the record.
-- ARGV  4 ttl in ms, 5 most subscriptions, 6 how many fields go, 7 how many come, 8 how many pieces of a new identity;
--       the fields that go, those that come with their values, the pieces
-- Gives what `owned` says, -2 for too many subscriptions.
local state, held = owned('p')
if state ~= SAVED then return state end

local going, coming, pieces = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local first_coming = 9 + going
local first_piece = first_coming + 2 * coming

-- 9 fields, and the pieces, are no subscriptions.
local count = redis.call('HLEN', KEYS[1]) - 9 - held[3] + coming
local most = tonumber(ARGV[5])
if count > most then
  -- Near the bound it has to be counted: changes may name channels that are known, or left in the same save.
  local goes = {}
  for at = 9, first_coming - 1 do
    goes[ARGV[at]] = true
    count = count - redis.call('HEXISTS', KEYS[1], ARGV[at])
  end
  for at = first_coming, first_piece - 1, 2 do
    if not goes[ARGV[at]] then count = count - redis.call('HEXISTS', KEYS[1], ARGV[at]) end
  end
  if count > most then return -2 end
end

for at = 9, first_coming - 1 do
  redis.call('HDEL', KEYS[1], ARGV[at])
end
-- In slices: a call of Lua takes some thousands of arguments at most.
for at = first_coming, first_piece - 1, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, at, math.min(at + 999, first_piece - 1)))
end
if pieces > 0 then
  for piece = 1, pieces do
    redis.call('HSET', KEYS[1], 'i' .. piece, ARGV[first_piece + piece - 1])
  end
  for piece = pieces + 1, tonumber(held[3]) do
    redis.call('HDEL', KEYS[1], 'i' .. piece)
  end
  redis.call('HSET', KEYS[1], 'p', pieces)
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return SAVED
