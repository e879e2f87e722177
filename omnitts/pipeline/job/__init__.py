"""Jobs: a folder per book with a SQLite store and clips named by their content. Kill it anywhere; open it and go on."""

from omnitts.pipeline.job.layout import JobFolder, find_jobs, job_folder_for
from omnitts.pipeline.job.store import Job, Status, Take, open_job, read_job, remove_job

__all__ = ["Job", "JobFolder", "Status", "Take", "find_jobs", "job_folder_for", "open_job", "read_job", "remove_job"]
