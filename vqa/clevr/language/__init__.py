"""Reading questions: the parser from English to programs, paraphrases and spelling."""
