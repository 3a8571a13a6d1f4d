-- KEYS: a key. ARGV: the mark of the claim that may have taken it.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
