"""`vqa benchmark`: speed of training, asking, questions and layers on this machine."""

COMMANDS = ("ask", "train", "questions", "speedrun", "layers")
