-- The whole conversation as human and gpt turns: ShareGPT, LLaMA-Factory, FastChat, axolotl.
-- record: chain
-- only: correct
-- trainer: {"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}}
SELECT
    list_transform(
        list_filter(messages, lambda m: m.role <> 'system'),
        lambda m: {'from': CASE m.role WHEN 'assistant' THEN 'gpt' ELSE 'human' END, 'value': m.content})
    AS conversations,
    coalesce(system, '') AS system
FROM records
