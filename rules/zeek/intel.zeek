##! Remote hosts that zeekml names, as indicators of the Intel framework: intel.log tells
##! who else is in touch with them. Not loaded by default.

@load base/frameworks/input
@load base/frameworks/intel
@load frameworks/intel/seen
@load ./config
@load ./notices

# Load this as well, in local.zeek, to have a notice whenever such a host is seen:
# @load frameworks/intel/do_notice

module ZeekML;

export {
	## What tells an indicator from all others.
	type IntelKey: record {
		indicator: string;
	};

	## How long after it left the file an indicator is forgotten: Zeek's own reader may
	## still be putting in what stood there before.
	const forget_after = 10secs &redef;

	## An indicator came, changed or went.
	global read_indicator: event(description: Input::TableDescription,
	    tpe: Input::Event, key: IntelKey);
}

redef Intel::read_files += {feed_dir + "/intel.dat"};

global indicators: set[string] = set();

event forget_indicator(indicator: string)
	{
	# It may be back by now.
	if ( indicator in indicators )
		return;

	Intel::remove(Intel::Item($indicator=indicator, $indicator_type=Intel::ADDR,
	    $meta=Intel::MetaData($source="zeekml")));
	}

# Zeek's own reader of these files adds indicators and never takes one back.
event read_indicator(description: Input::TableDescription, tpe: Input::Event,
    key: IntelKey)
	{
	if ( tpe == Input::EVENT_REMOVED )
		schedule forget_after { forget_indicator(key$indicator) };
	}

event zeek_init()
	{
	if ( ! reads_feed() )
		return;

	Input::add_table([$source=feed_dir + "/intel.dat", $name="zeekml-indicators",
	    $reader=Input::READER_ASCII, $mode=Input::REREAD, $idx=IntelKey,
	    $destination=indicators, $ev=read_indicator]);
	}
