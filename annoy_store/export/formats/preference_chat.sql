-- A right and a wrong answer to one question, as chat messages: DPO in TRL with a chat template.
-- record: preference
-- only: all
SELECT
    question AS prompt,
    [{'role': 'assistant', 'content': chosen}] AS chosen,
    [{'role': 'assistant', 'content': rejected}] AS rejected
FROM records
