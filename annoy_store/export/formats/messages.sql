-- The whole conversation as chat messages: OpenAI, TRL, LLaMA-Factory, axolotl.
-- record: chain
-- only: correct
-- trainer: {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}}
SELECT messages FROM records
