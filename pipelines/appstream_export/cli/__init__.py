"""How a person at a terminal, or a program behind a pipe, is told: streams, formats, progress, summaries.

Text from AWS is made harmless here, whatever it holds. Knows runs and the lake; knows no command and no flag.
"""
