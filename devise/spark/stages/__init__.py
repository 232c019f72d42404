"""What each job computes, as frames in and frames out over the arrays of the other wings.

It must not know jobs or settings of Spark; the few arrows between stages are listed in a test.
Start with the stage of the job at hand: jobs/embed_images.py is embed.py, and so on.
"""
