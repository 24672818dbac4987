-- Questions that some answer solved, with what checks an answer: GRPO in TRL, verl.
-- record: prompt
-- only: correct
SELECT
    'annoy_store' AS data_source,
    question AS prompt,
    'code_reasoning' AS ability,
    {'style': 'rule', 'ground_truth': CASE kind WHEN 'predict_output' THEN output ELSE input END}
        AS reward_model,
    CASE kind WHEN 'predict_output' THEN output ELSE input END AS answer,
    checker,
    refcode AS code,
    {'kind': kind, 'funcname': funcname, 'input': input, 'output': output, 'pass_rate': pass_rate,
     'lines_executed': lines_executed} AS extra_info
FROM records
