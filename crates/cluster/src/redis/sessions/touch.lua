-- Renews a record.
-- ARGV  4 ttl in ms, 5 ms until its user's index is due again
-- Gives what `owned` says; the user where it is time to renew their index.
local state, held = owned('x', 'u')
if state ~= SAVED then return state end

redis.call('PEXPIRE', KEYS[1], ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now < tonumber(held[3]) or held[4] == '' then return SAVED end
redis.call('HSET', KEYS[1], 'x', string.format('%.0f', now + ARGV[5]))
return held[4]
