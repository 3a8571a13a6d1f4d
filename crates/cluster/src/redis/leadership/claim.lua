-- Takes or renews the lead.
-- KEYS  1 epoch (8 bytes) and name of who leads, until its lease ends; 2 the last epoch
-- ARGV  1 candidate, 2 ttl in ms, 3 highest epoch that others have seen
-- Gives epoch and name of who leads now.
local held = redis.call('GET', KEYS[1])
local epoch = held and struct.unpack('>I8', held) or 0
if held and held:sub(9) ~= ARGV[1] then return { epoch, held:sub(9) } end

local seen = tonumber(ARGV[3])
if not held or epoch < seen then
  epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), seen) + 1
  redis.call('SET', KEYS[2], string.format('%.0f', epoch))
end
redis.call('SET', KEYS[1], struct.pack('>I8', epoch) .. ARGV[1], 'PX', ARGV[2])
return { epoch, ARGV[1] }
