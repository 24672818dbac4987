-- Prompt, answers and feedback side by side: the form of the published CodeI/O data sets.
-- record: chain
-- only: all
-- trainer: {"columns": {"prompt": "prompt", "response": "turn_1"}}
SELECT prompt, COLUMNS('^(turn|feedback)_[0-9]+$') FROM records
