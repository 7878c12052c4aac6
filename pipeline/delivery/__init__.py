"""How a message gets to a receiver: who is told, what is sent, where it may connect, one try and its answer."""
