"""Planning: which jobs there are, why each would run, and how much room and time they take."""
