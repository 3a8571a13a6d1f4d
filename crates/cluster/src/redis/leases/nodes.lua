-- What every node with a lease says of itself.
local nodes = {}
for _, lease in ipairs(redis.call('HVALS', KEYS[1])) do
  if ends_at(lease) > now then table.insert(nodes, lease:sub(17)) end
end
return nodes
