"""`vqa explain`: why a model answered so, and whether its channels matter.

Show what is behind an answer, chart what each channel tracks, and measure whether the channels that weigh most matter
most.
"""

COMMANDS = ("ask", "atlas", "faithfulness", "masks")
