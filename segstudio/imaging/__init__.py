"""Pictures and label images in and out of files, and the array work the canvas and the networks share."""
