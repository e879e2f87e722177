"""Networks between speech codes and what they say: readers that tell it from codes alone, how well codes spell a text,
when its sounds are said, and a pronouncer that writes codes for sounds.
"""
