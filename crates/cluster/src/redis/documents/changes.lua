-- What was written after a revision.
-- KEYS  1 documents: name -> revision (8 bytes), body; 2 names by revision; 3 `g` generation (8 bytes), `n` last revision
-- ARGV  1 the generation that the revision is of, 2 revision, 3 most documents
-- Gives generation (empty: there is none), name, document, name, document…
local generation = redis.call('HGET', KEYS[3], 'g') or ''
local after = generation == ARGV[1] and ARGV[2] or '0'
local answer = { generation }
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. after, '+inf', 'LIMIT', 0, ARGV[3])) do
  local document = redis.call('HGET', KEYS[1], name)
  if document then
    answer[#answer + 1] = name
    answer[#answer + 1] = document
  end
end
return answer
