-- A right and a wrong answer to the same messages, as plain texts: DPO and its kin in TRL and LLaMA-Factory.
-- record: preference
-- only: all
-- trainer: {"ranking": true, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "system": "system"}}
SELECT
    array_to_string(
        list_transform(list_filter(question, lambda m: m.role <> 'system'), lambda m, i:
            CASE WHEN i = 1 THEN '' WHEN m.role = 'assistant' THEN 'Assistant: ' ELSE 'User: ' END
            || m.content),
        E'\n\n') AS prompt,
    chosen,
    rejected,
    coalesce(system, '') AS system,
    chosen_teacher,
    rejected_teacher
FROM records
