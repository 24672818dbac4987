-- Functions with their inputs and outputs (values as JSON text), before any question is asked.
-- record: sample
SELECT
    problem_statement AS problem_description,
    io_requirements,
    refcode,
    funcname,
    ios,
    origin AS source,
    NULL::VARCHAR AS category,
    {'source_digest': source_digest, 'repo': repo, 'path': path, 'licence': licence,
     'input_generator': input_generator} AS meta
FROM records
