-- A right and a wrong answer to one question, as plain texts: DPO and its kin in TRL and LLaMA-Factory.
-- record: preference
-- only: all
-- trainer: {"ranking": true, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "system": "system"}}
SELECT prompt, chosen, rejected, coalesce(system, '') AS system FROM records
