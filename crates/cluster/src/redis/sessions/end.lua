-- Ends a session. Gives what `owned` says, and in whose indexes it is: user and node.
local state, held = owned('u', 'n')
if state ~= SAVED then return { state } end
redis.call('DEL', KEYS[1])
return { SAVED, held[3], held[4] }
