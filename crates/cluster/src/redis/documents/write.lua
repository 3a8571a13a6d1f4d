-- Writes a document, if it is as expected.
-- KEYS  1 documents: name -> revision (8 bytes), body; 2 names by revision; 3 `g` generation (8 bytes), `n` last revision
-- ARGV  1 name, 2 expected revision, 0: absent, 3 the new revision is above this, 4 body, 5 generation if there is none,
--       6 most documents
-- Gives 1 and the new revision; 0 and the one that is there, 0: none; -1 and 0, there are too many.
local held = redis.call('HGET', KEYS[1], ARGV[1])
local revision = held and struct.unpack('>I8', held) or 0
if revision ~= tonumber(ARGV[2]) then return { 0, revision } end
if not held and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then return { -1, 0 } end

redis.call('HSETNX', KEYS[3], 'g', ARGV[5])
local last = tonumber(redis.call('HGET', KEYS[3], 'n') or '0')
revision = math.max(last, tonumber(ARGV[3])) + 1
local digits = string.format('%.0f', revision)
redis.call('HSET', KEYS[3], 'n', digits)
redis.call('HSET', KEYS[1], ARGV[1], struct.pack('>I8', revision) .. ARGV[4])
redis.call('ZADD', KEYS[2], digits, ARGV[1])
return { 1, revision }
