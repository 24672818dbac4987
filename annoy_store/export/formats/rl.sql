-- Questions that some answer solved, with all that scores an answer: GRPO in TRL, verl.
-- record: prompt
-- only: correct
-- beside: reward.py
SELECT
    'annoy_store' AS data_source,
    question AS prompt,
    'code_reasoning' AS ability,
    {'style': 'rule', 'ground_truth': ground_truth} AS reward_model,
    kind AS task,
    refcode AS code,
    {'ground_truth': ground_truth, 'funcname': funcname, 'input': input, 'output': output,
     'pass_rate': pass_rate, 'lines_executed': lines_executed, 'split': split} AS extra_info
FROM records
