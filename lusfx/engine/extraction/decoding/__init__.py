"""Decoding: source files become prepared frames, in limited processes of their own or in a thread of this one."""
