"""CLEVR's world without torch: scenes, programs, questions and their language, and how datasets are read and made."""
