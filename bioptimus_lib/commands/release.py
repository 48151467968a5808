def add(s): pass
