"""The training recipe: recordings in, a checkpoint folder laid out as published out; and fine-tuning of one.

Every stage reads what the stages before it left in the run's folder (`run_folder`) and goes on from its own last
checkpoint (`loop`). Imported only by `omnitts train`; needs the extra `train`.
"""
