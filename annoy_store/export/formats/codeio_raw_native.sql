-- Functions in the shape of the published Raw set: inputs and outputs as values of their own types.
-- record: sample
-- files: jsonl
SELECT
    problem_statement AS problem_description,
    io_requirements,
    refcode,
    funcname,
    list_transform(ios, lambda p: {'input': p.input::JSON, 'output': p.output::JSON}) AS ios,
    origin AS source,
    sample_metadata->>'category' AS category,
    {'source_digest': coalesce(source_digest, sample_metadata->>'source_digest'),
     'repo': coalesce(repo, sample_metadata->>'repo'),
     'path': coalesce(path, sample_metadata->>'path'),
     'licence': coalesce(licence, sample_metadata->>'licence'),
     'input_generator': input_generator,
     'blob_id': coalesce(origin_metadata->>'blob_id', sample_metadata->>'blob_id'),
     'msgidx': TRY_CAST(sample_metadata->>'msgidx' AS BIGINT)} AS meta
FROM records
