-- A right and a wrong answer to the same messages, as chat messages: DPO in TRL with a chat template.
-- record: preference
-- only: all
SELECT
    question AS prompt,
    [{'role': 'assistant', 'content': chosen}] AS chosen,
    [{'role': 'assistant', 'content': rejected}] AS rejected,
    chosen_teacher,
    rejected_teacher
FROM records
