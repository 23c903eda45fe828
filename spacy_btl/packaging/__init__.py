"""Save, load, seal, measure and describe a pipeline that is shipped."""
