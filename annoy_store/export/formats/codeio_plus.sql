-- Answers and feedback joined into one response, as models are trained to check and mend their own work.
-- record: chain
-- only: all
-- trainer: {"columns": {"prompt": "prompt", "response": "response"}}
SELECT
    prompt,
    array_to_string(
        list_transform(steps, lambda step, i:
            CASE WHEN i = 1 THEN '' ELSE E'That was not right, so I work it out again from the start.\n\n' END
            || step.answer
            || CASE WHEN step.feedback IS NULL THEN ''
                    ELSE E'\n\nTo be sure, I run the code and compare.\n' || step.feedback END),
        E'\n\n')
    || CASE WHEN last_status = 'correct' THEN E'\n\nThe result agrees, so this answer stands.' ELSE '' END
    AS response
FROM records
