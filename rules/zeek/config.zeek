##! Where zeekml's feed is. This file is yours: zkg keeps what you change here.

module ZeekML;

export {
	## The directory that `zeekml watch --feed` writes to. Zeek's user must be able to
	## enter it and to read its files.
	const feed_dir = "/var/log/zeekml/feed" &redef;
}
