"""The engine: the table of rules, the tape, and the tensor that writes it. Begin with tape.py."""
